"""The black-box test kit: a proxy under test, scripted backends, raw clients and a publisher, all on loopback."""
