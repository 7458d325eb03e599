"""Table of all sentences: key -> (English, Traditional Chinese), with named places.

text.py fills them in. No page holds a sentence of its own.
"""

from app.sentences.alerts_and_setup import ALERTS_AND_SETUP
from app.sentences.changes import CHANGES
from app.sentences.history_tests import HISTORY_TESTS
from app.sentences.ingestion_page import INGESTION
from app.sentences.pages import PAGES
from app.sentences.words import WORDS

SENTENCES: dict[str, tuple[str, str]] = (
    WORDS | PAGES | ALERTS_AND_SETUP | INGESTION | CHANGES | HISTORY_TESTS
)
