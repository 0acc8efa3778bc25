"""SPZ files: bytes by hand, what comes back of random clouds, and what is refused."""

import gzip
import struct
from dataclasses import replace

import numpy as np
import pytest

from representations.gaussians.files import GaussianFileError, Gaussians
from representations.gaussians.spz import packed_rotations, read_spz, spz_bytes, unpacked_rotations


def random_gaussians(count: int, seed: int = 0) -> Gaussians:
    rng = np.random.default_rng(seed)
    quaternions = rng.normal(size=(count, 4))
    numbers = (
        rng.normal(size=(count, 3)),
        np.exp(rng.normal(-3, 1, size=(count, 3))),
        quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
        rng.random(count),
        rng.random((count, 3)),
    )
    return Gaussians(*(part.astype(np.float32) for part in numbers))


def test_one_gaussian_byte_by_byte():
    half = 0.5**0.5
    one = Gaussians(
        np.array([[1.0, -0.5, 2.0**-12]], np.float32),
        np.exp([[-10.0, -5.0, 0.0]]).astype(np.float32),
        np.array([[half, 0, -half, 0]], np.float32),  # w and y are equally large: the first in x, y, z, w is left out
        np.array([1.0], np.float32),
        np.array([[0.5, 1.0, 0.0]], np.float32),
    )
    stream = gzip.decompress(spz_bytes(one))
    assert stream[:16] == struct.pack("<4sIIBBBB", b"NGSP", 3, 1, 0, 12, 0, 0)
    assert stream[16:25] == bytes([0, 0x10, 0, 0, 0xF8, 0xFF, 1, 0, 0])  # 4096, -2048 and 1 in 24 bits
    assert stream[25] == 255
    band = 0.28209479177387814
    assert list(stream[26:29]) == [128, round(255 * (0.5 + 0.075 / band)), round(255 * (0.5 - 0.075 / band))]
    assert list(stream[29:32]) == [0, 80, 160]
    # y is the largest and negative, so that the others change their signs: x = -0, z = -0, w = -sqrt(1/2)
    assert struct.unpack("<I", stream[32:36])[0] == 1 << 30 | 0 << 20 | 0 << 10 | 1 << 9 | 511
    assert len(stream) == 36


def test_what_was_written_comes_back_to_within_its_rounding():
    wanted = random_gaussians(500)
    again = read_spz(spz_bytes(wanted))
    np.testing.assert_allclose(again.means, wanted.means, atol=0.5 / 4096 + 1e-6)
    np.testing.assert_allclose(np.log(again.scales), np.log(wanted.scales), atol=0.5 / 16 + 1e-5)
    np.testing.assert_allclose(again.opacities, wanted.opacities, atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(again.colours, wanted.colours, atol=0.5 / 255 * 0.2821 / 0.15 + 1e-6)
    agreement = np.abs((again.quaternions * wanted.quaternions).sum(1))
    assert agreement.min() > np.cos(np.radians(0.15))  # a rotation turns by twice the angle between quaternions
    assert spz_bytes(wanted) == spz_bytes(wanted)
    once = spz_bytes(again)
    assert once == spz_bytes(read_spz(once))


def test_any_component_may_be_the_largest():
    quaternions = np.concatenate([np.eye(4), -np.eye(4), np.full((1, 4), 0.5)]).astype(np.float32)
    again = unpacked_rotations(packed_rotations(quaternions))
    np.testing.assert_allclose(np.abs((again * quaternions).sum(1)), 1, atol=2e-3)
    np.testing.assert_allclose(np.linalg.norm(again, axis=1), 1, atol=1e-12)


def test_what_is_no_spz_file_is_refused():
    content = spz_bytes(random_gaussians(5))
    stream = gzip.decompress(content)
    for bad, said in (
        (b"", "short"),
        (b"ply\n", "gzip"),
        (content[:-12], "SPZ"),
        (gzip.compress(stream[:-1]), "cut off"),
        (gzip.compress(b"PNGS" + stream[4:]), "version 3"),
        (gzip.compress(stream[:4] + struct.pack("<I", 2) + stream[8:]), "version 3"),
        (gzip.compress(stream[:8] + struct.pack("<I", 2**31) + stream[12:]), "version 3"),
    ):
        with pytest.raises(GaussianFileError, match=said):
            read_spz(bad)
    with pytest.raises(ValueError, match="not finite"):
        spz_bytes(replace(random_gaussians(1), opacities=np.array([np.nan], np.float32)))
    with pytest.raises(ValueError, match="within 2048"):
        spz_bytes(replace(random_gaussians(1), means=np.array([[0, 0, 2048]], np.float32)))


def test_none_at_all():
    assert len(read_spz(spz_bytes(random_gaussians(0))).means) == 0
