"""Bit-accuracy verdict: the first layer, sample and cause of any difference."""
