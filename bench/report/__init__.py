"""The report: finished runs as a static site that opens from a folder, and the AU inspector, a page about one clip.

| file | holds |
|---|---|
| `page.py` | templates, the one stylesheet and the one script, file names from any text |
| `gather.py` | the finished runs below a folder, sorted into boards of equal cases |
| `numbers.py` | tables of `bench.table` as rows of texts for a template |
| `breakdown.py` | scores per emotion, per level, per person |
| `curves.py` | Action Units over time, as lines to draw |
| `players.py` | what a case's page shows: videos, reference image, curves |
| `failures.py` | cases and metrics without a value, by reason |
| `figures.py` | sweeps and the calibration |
| `papers.py` | the papers' tables and claims |
| `site.py` | all pages, written |
| `inspector.py` | the AU inspector |
| `templates/` | Jinja templates, `style.css`, `site.js` |
"""
