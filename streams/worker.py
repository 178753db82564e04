"""What `faust -A streams.worker worker` wants: an app made from the environment."""

from streams.app import create_app
from streams.logs import mask_stderr
from streams.params import load_params
from streams.settings import load

mask_stderr()
settings = load()
app = create_app(settings, load_params(settings.params))
