"""What writes part of the code: run by hand after a change, checked by the tests."""
