"""How do I send data? The same guide an empty installation shows on every page."""

from app import cards, onboarding, session

here = session.visit()
cards.title("setup.title")
if here.problem is not None:
    session.wait_for_server(here.problem)
else:
    onboarding.show(here.models)
