"""One report as tables on the screen, a card, a page and files."""
