"""Other stores that zetcd is compared with, and the programs that talk to all of them."""
