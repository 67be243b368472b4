"""A report in its four forms: tables on the screen, a card, a page, and files."""
