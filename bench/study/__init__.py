"""User study: people compare two videos of the same case without knowing whose they are (AUHead section 4.3.1, Table 4).

`make` writes a page that works from a folder and a key that stays at home; `tally` turns the files raters send back into
preference shares. Differences from the paper: attention checks, sides and order drawn per rater, intervals, agreement.
"""
