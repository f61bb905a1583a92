"""The services of NanoGrid. They meet only in the contract."""
