"""The table of sentences: key -> (English, Traditional Chinese), whole sentences with named places.

text.py says them. A page never holds a sentence of its own.
"""

from app.sentences.accounts import ACCOUNTS
from app.sentences.changes import CHANGES
from app.sentences.pages import PAGES
from app.sentences.trials import TRIALS
from app.sentences.words import WORDS

SENTENCES: dict[str, tuple[str, str]] = WORDS | PAGES | ACCOUNTS | CHANGES | TRIALS
