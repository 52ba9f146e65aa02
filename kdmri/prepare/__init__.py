"""From a source of any format to the h5 layout: subjects, splits, writing, checking."""
