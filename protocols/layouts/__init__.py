"""Official layouts of data sets: which file is which clip. Paths and names only; nothing is decoded."""
