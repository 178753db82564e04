"""What `faust -A streams.worker worker` wants: an app made from the environment."""

from streams.detect.app import create_app
from streams.process.logs import mask_stderr
from streams.process.params_file import load_params
from streams.process.settings import load

mask_stderr()
settings = load()
app = create_app(settings, load_params(settings.params))
