"""Reading, unpacking, recording and writing tars."""
