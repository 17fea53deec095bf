"""Coscribe: a collaborative text engine that can prove it loses nothing."""
