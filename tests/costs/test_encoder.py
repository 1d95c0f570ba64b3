import pytest

from archwright.costs.encoder import kernels_of_encoder
from archwright.errors import ConfigurationError

SHAPE = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}


def test_products_of_a_text_encoder_by_hand():
    # a layer on 5 tokens: four projections of 8 x 8, scores and sums of 2 heads of 4, two products of 8 x 16
    k = kernels_of_encoder({"model_type": "bert", **SHAPE}, 5)
    assert k.macs.sum() == 2 * (4 * 5 * 64 + 2 * 2 * 25 * 4 + 2 * 5 * 128)


def test_images_add_their_patches_and_a_class_token():
    text = kernels_of_encoder({"model_type": "bert", **SHAPE}, 17)
    image = kernels_of_encoder({"model_type": "vit", "image_size": 16, "patch_size": 4, **SHAPE})
    assert image.macs.sum() == text.macs.sum() + 16 * 8 * 3 * 16


@pytest.mark.parametrize(
    ("change", "words"),
    [({"hidden_size": None}, "hidden_size"), ({"hidden_size": 9}, "multiple"), ({"num_hidden_layers": 0}, "got 0")],
)
def test_a_bad_configuration_is_named(change, words):
    with pytest.raises(ConfigurationError, match=words):
        kernels_of_encoder({"model_type": "bert", **SHAPE, **change}, 5)
