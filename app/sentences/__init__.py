"""The table of sentences: key -> (English, Traditional Chinese), whole sentences with named places.

text.py says them. A page never holds a sentence of its own.
"""

from app.sentences.changes import CHANGES
from app.sentences.history_tests import TRIALS
from app.sentences.ingestion_page import ACCOUNTS
from app.sentences.pages import PAGES
from app.sentences.words import WORDS

SENTENCES: dict[str, tuple[str, str]] = WORDS | PAGES | ACCOUNTS | CHANGES | TRIALS
