"""Training texts are changed a little, row by row and epoch by epoch: texts become edits, and spans move with them."""
