"""Generators: what turns a reference image, speech and AUs into a talking head, one folder per paper."""
