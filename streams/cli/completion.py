"""`undertow completion`: the shell's own completion of commands and options."""

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what SHELL needs to complete our commands and options.

    \b
    undertow completion bash > ~/.local/share/bash-completion/completions/undertow
    undertow completion zsh > "${fpath[1]}/_undertow"
    undertow completion fish > ~/.config/fish/completions/undertow.fish
    """
    made = get_completion_class(shell)
    assert made, "click knows these shells"
    root = context.find_root().command
    click.echo(made(root, {}, "undertow", "_UNDERTOW_COMPLETE").source())
