from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from space_trees import MBConv, Pool, ofa_tree

from archwright.errors import SpaceError
from archwright.space import Architecture, Space, constraint, oneof, repeat

SCRIPT = """
import numpy as np
from space_trees import ofa_tree, Pool
from archwright.space import Space, oneof
space = Space(ofa_tree())
print(space.digest, *[a.digest for a in space.sample(5, np.random.default_rng(3))])
print(Space({"b": oneof(1, 2.5, None), "a": Pool.MAX}).digest)
"""


def test_digests_are_the_same_in_every_process_and_for_every_hash_seed():
    folder = str(Path(__file__).parent)
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": folder},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    space = Space(ofa_tree())
    here = [space.digest, *(a.digest for a in space.sample(5, np.random.default_rng(3)))]
    assert outputs == {" ".join(here) + "\n" + Space({"b": oneof(1, 2.5, None), "a": Pool.MAX}).digest + "\n"}
    assert Space({"a": Pool.MAX, "b": oneof(1, 2.5, None)}).digest in outputs.pop()  # the order of keys does not count


def test_the_same_network_has_the_same_digest_in_every_space():
    one = Space((oneof(MBConv(3), MBConv(5)),)).largest()
    other = Space((repeat(MBConv(oneof(3, 7)), 1),))
    assert Space((MBConv(5),)).smallest().digest == Space((oneof(MBConv(5), "x"),)).smallest().digest
    assert one.digest not in {a.digest for a in other.enumerate()}


def test_reading_refuses_types_that_are_not_allowed_without_importing_them():
    text = json.dumps({"archwright": 1, "kind": "space", "tree": {"$type": "colorsys:Evil"}})
    sys.modules.pop("colorsys", None)
    with pytest.raises(SpaceError, match=r"allow=\['colorsys:Evil'\]"):
        Space.from_json(text)
    assert "colorsys" not in sys.modules


@pytest.mark.parametrize(
    ("name", "allow", "message"),
    [
        ("os:system", (), "not archwright's"),
        ("archwrightx.evil:X", (), "not archwright's"),
        ("archwright.space.codec:importlib.import_module", (), "not a class that is defined there"),
        ("archwright.space.codec:json.JSONDecoder", (), "not a class that is defined there"),
        ("archwright.registry:Path", (), "not a class that is defined there"),
        ("archwright.space.model:Model", (), "not a dataclass"),
        ("archwright.nothing:Model", (), "cannot be found"),
        ("subprocess:Popen", ("subprocess",), "not a dataclass"),
        ("space_trees:MBConv", ("space_trees:Block", "space"), "not archwright's"),
        ("MBConv", (), "module:Class"),
        (3, (), "module:Class"),
    ],
)
def test_reading_constructs_dataclasses_only_and_only_where_allowed(name, allow, message):
    text = json.dumps({"archwright": 1, "kind": "space", "tree": {"$type": name}})
    with pytest.raises(SpaceError, match=message):
        Space.from_json(text, allow=allow)


@pytest.mark.parametrize("allow", [["space_trees"], ["space_trees:Net", "space_trees:MBConv"]])
def test_allowed_types_are_read(allow):
    space = Space(ofa_tree(), constraint(lambda a, b: a <= b, "depth0", "depth1", message="grows"))
    again = Space.from_json(space.to_json(), allow=allow)
    assert again == space and again.size() == space.size()
    assert again.tables[0].message == "grows"
    member = space.sample(1, np.random.default_rng(0))[0]
    assert Architecture.from_json(member.to_json(), again) == member
    assert Architecture.from_json(member.to_json(), Space(ofa_tree())).digest == member.digest  # needs no import


def test_an_architecture_moves_to_another_space_that_holds_its_tree():
    member = Space((MBConv(oneof(3, 5)), oneof(1, 2))).largest()
    wider = Space((MBConv(oneof(3, 5, 7), oneof(4, 6)), oneof(0, 2)))
    moved = Architecture.from_json(member.to_json(), wider, allow=["space_trees"])
    assert moved.tree == member.tree and moved.code.tolist() == [1, 1, 1]
    with pytest.raises(SpaceError, match="nothing in the space at 1 equals 1"):
        wider.encode((MBConv(5), 1))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"archwright": 2, "kind": "space", "tree": 1}, "has format 2, this archwright reads up to 1"),
        ({"archwright": 1, "kind": "architecture", "tree": 1}, "expected a space, got kind='architecture'"),
        ({"kind": "space", "tree": 1}, "without a format version"),
        ({"archwright": 1, "kind": "space", "tree": {"$call": "os:system"}}, "unknown mark"),
        ({"archwright": 1, "kind": "space", "tree": {"$repeat": 1}}, "not a valid"),
        ({"archwright": 1, "kind": "space", "tree": {"$type": "space_trees:MBConv", "x": 1}}, "not a valid"),
    ],
)
def test_text_that_is_no_space_is_refused(data, message):
    with pytest.raises(SpaceError, match=message):
        Space.from_json(json.dumps(data), allow=["space_trees"])


@pytest.mark.parametrize("text", ["not json", "", "[" * 100_000])
def test_text_that_is_no_json_is_refused(text):
    with pytest.raises(SpaceError, match="expected JSON text of a space"):
        Space.from_json(text)


def test_text_nested_without_end_is_refused():
    tree = "[" * 900 + "1" + "]" * 900
    with pytest.raises(SpaceError):
        Space.from_json(f'{{"archwright": 1, "kind": "space", "tree": {tree}}}')


def test_a_changed_architecture_is_noticed():
    space = Space((oneof(1, 2), oneof(3, 4)))
    data = json.loads(space.smallest().to_json())
    data["code"] = [1, 0]
    with pytest.raises(SpaceError, match="the text was"):
        Architecture.from_json(json.dumps(data), space)


def test_predicates_cannot_be_written():
    with pytest.raises(SpaceError, match="Python function and cannot be written"):
        Space((oneof(1, 2),), where=lambda tree: True).to_json()
