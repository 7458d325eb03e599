"""How do I send data? The guide that an empty installation shows on every page."""

from app import session
from app.components import cards, setup_guide

here = session.visit()
cards.title("setup.title")
if here.problem is not None:
    session.wait_for_server(here.problem)
else:
    setup_guide.show(here.models)
