"""Tests of the provider's core: no network, no engine, no sleep; time is given to the code under test."""
