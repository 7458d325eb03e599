"""Parts of pages: cards, tiles, and the text that stands in them."""
