"""Coscribe: a collaborative text engine that can prove it loses nothing."""

from coscribe.compiled import install

install()
