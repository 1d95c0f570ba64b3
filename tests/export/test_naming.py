import keyword

import pytest
from export_networks import cell_space, sample, space

from archwright.export.naming import places
from archwright.nets.build import build, program_of
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.sequential import Sequential


def test_blocks_of_a_repeat_are_named_by_stage_and_block():
    architecture = sample(space(), 3)
    names = [p.name for p in places(program_of(architecture, (1, 8, 8))).values()]
    depth = sum(name.startswith("stage1_block") for name in names)
    assert names[0] == "conv"
    assert names[1 : 1 + depth] == [f"stage1_block{i}" for i in range(depth)]
    assert names[-1] == "classifier"
    assert {"block1_conv1", "block1_conv2", "block1_shortcut"} <= set(names)


@pytest.mark.parametrize("seed", range(20))
def test_names_are_unique_identifiers_in_both_spaces(seed):
    for architecture, shape in ((sample(space(), seed), (1, 8, 8)), (sample(cell_space(), seed), (3, 8, 8))):
        names = [p.name for p in places(program_of(architecture, shape)).values()]
        assert len(set(names)) == len(names)
        assert all(name.isidentifier() and not keyword.iskeyword(name) for name in names)


def test_a_tree_without_sites_is_named_by_types():
    net = build(Sequential((Conv(4), Conv(6), Classifier(3))), (1, 8, 8))
    assert [p.name for p in places(net.program).values()] == ["conv1", "conv2", "classifier"]
