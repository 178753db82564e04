"""What `faust -A streams.worker worker` wants: an app made from the environment."""

from streams.app import create_app
from streams.params import load_params
from streams.settings import load

settings = load()
app = create_app(settings, load_params(settings.params))
