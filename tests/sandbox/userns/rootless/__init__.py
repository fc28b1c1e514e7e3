"""Everything as an ordinary user of this machine, which the tests make."""
