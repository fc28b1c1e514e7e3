"""What every graph driver has to pass: the driver protocol's manual as tests.

    pytest --pyargs layerstore.testing.driver --layerstore-driver NAME

Owns these tests, and what they make layers of. It knows no driver by name, and never looks into a
driver's own directories but where the protocol says what lies there. Begin with `test_life`; the
fixture `driver` is in `conftest`.
"""
