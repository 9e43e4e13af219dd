"""
History fields
==============

That somebody rated *Alien* says something of them before we look at the stars. So does
the list of all else that they rated, and the list of who else rated a film. Both stand
in the table already, spread over its rows.

``HistoryEncoder`` gathers them: for each row the bag of the *other* items of its
owner, among the training rows. The own item is left out, so that a row says nothing about
itself, and rows that are held out are in no history. The stars are not looked at.
"""

# %%
# A history, and an audience
# --------------------------

import pandas as pd

from skwfm import HistoryEncoder

seen = pd.DataFrame(
    {"user": ["ann", "ann", "ann", "bob"], "film": ["Alien", "Heat", "M", "M"]}
)
history = HistoryEncoder().set_output(transform="default").fit(seen)
names = history.get_feature_names_out()
pd.DataFrame(history.transform(seen).toarray(), columns=names).round(2)
