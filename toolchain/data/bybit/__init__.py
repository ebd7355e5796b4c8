"""Candles of the exchange Bybit over its public interface, version 5: no key is needed."""
