"""Every name that `import archwright` offers is there."""

import archwright


def test_every_public_name_resolves():
    for name in archwright.__all__:
        assert getattr(archwright, name) is not None, name
    assert callable(archwright.search)


def test_unknown_names_are_attribute_errors():
    assert not hasattr(archwright, "no_such_name")
