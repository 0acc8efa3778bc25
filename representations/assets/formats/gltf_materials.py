"""Materials of glTF, with the extensions that can be told in the metallic-roughness model."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from representations.assets.asset import AlphaMode, Image, MapName, Material, Sampling, Wrap
from representations.assets.colour_space import linear_to_srgb, srgb_to_linear
from representations.assets.formats.gltf_document import Document
from representations.assets.formats.gltf_numbers import (
    GltfError,
    entries,
    extension,
    members,
    number,
    numbers,
    part,
    share,
    whole,
)
from representations.assets.formats.looks import Look, MapUse, Place, look_of
from representations.assets.textures import ImageError, Images, ImageSizeError
from representations.geometry.mesh import Floats

_WRAPS: dict[int, Wrap] = {10497: "repeat", 33071: "clamp", 33648: "mirror"}
_ALPHA_MODES = {"OPAQUE": "opaque", "MASK": "mask", "BLEND": "blend"}
_IMAGE_EXTENSIONS = ("EXT_texture_webp",)
_UNREADABLE_IMAGES = ("KHR_texture_basisu", "MSFT_texture_dds", "EXT_texture_avif")
_READ = ("KHR_materials_unlit", "KHR_materials_emissive_strength", "KHR_materials_pbrSpecularGlossiness")
_SPECULAR = "KHR_materials_pbrSpecularGlossiness"
_DIELECTRIC = 0.04
"""What a surface that is no metal mirrors (glTF 2.0, appendix B)."""


@dataclass
class Materials:
    """Reads the materials of a document, each once; says what is lost."""

    document: Document
    images: Images = field(default_factory=Images)
    notes: list[str] = field(default_factory=list)
    _known: dict[int, Look] = field(default_factory=dict)
    _decoded: dict[int, Image | None] = field(default_factory=dict)

    def look(self, index: Any) -> Look:
        """The material of a number; glTF's default for None."""
        if index is None:
            return Look(Material(roughness=1.0, metallic=1.0, two_sided=False))
        entry = self.document.item("materials", index)
        if index not in self._known:
            self._known[index] = self._read(index, entry)
        return self._known[index]

    def _read(self, index: int, entry: dict[str, Any]) -> Look:
        surface = members(entry, "pbrMetallicRoughness")
        specular = extension(entry, _SPECULAR)
        base = _Maps(self)
        normal = base.add("normal", entry.get("normalTexture"))
        occlusion = base.add("occlusion", entry.get("occlusionTexture"))
        base.add("emission", entry.get("emissiveTexture"))
        mode = entry.get("alphaMode", "OPAQUE")
        if mode not in _ALPHA_MODES:
            raise GltfError(f"materials[{index}] has the alpha mode {str(mode)[:20]}")
        strength = number((extension(entry, _READ[1]) or {}).get("emissiveStrength", 1.0), "emissiveStrength")
        emission = np.maximum(numbers(entry.get("emissiveFactor", [0, 0, 0]), 3, "emissiveFactor") * strength, 0.0)
        plain = Material(
            emission_factor=cast(tuple[float, float, float], tuple(map(float, emission))),
            normal_scale=number(normal.get("scale", 1.0), "normalTexture.scale"),
            occlusion_strength=share(occlusion.get("strength", 1.0), "occlusionTexture.strength"),
            alpha_mode=cast(AlphaMode, _ALPHA_MODES[mode]),
            alpha_cutoff=max(number(entry.get("alphaCutoff", 0.5), "alphaCutoff"), 0.0),
            two_sided=bool(entry.get("doubleSided", False)),
            unlit=extension(entry, _READ[0]) is not None,
            name=str(entry.get("name", ""))[:200],
        )
        plain = base.with_specular(plain, specular) if specular is not None else base.with_metallic(plain, surface)
        self._note_losses(entry)
        return base.look(plain)

    def _note_losses(self, entry: dict[str, Any]) -> None:
        lost = [name for name in members(entry, "extensions") if name not in _READ]
        for name in lost:
            self.note(f"{name[:60]} is not kept: the material looks as it does without")

    def note(self, text: str) -> None:
        """Say something once."""
        if text not in self.notes:
            self.notes.append(text)

    def image(self, texture: dict[str, Any]) -> Image | None:
        """The image of an entry of "textures"; None with a note if there is none that can be read."""
        sources = [found.get("source") for name in _IMAGE_EXTENSIONS if (found := extension(texture, name)) is not None]
        source = sources[0] if sources else texture.get("source")
        if source is None:
            unreadable = [name for name in _UNREADABLE_IMAGES if extension(texture, name) is not None]
            reason = f"{unreadable[0]} cannot be read" if unreadable else "it has no image"
            self.note(f"a texture was left out: {reason}")
            return None
        entry = self.document.item("images", source)
        if source not in self._decoded:
            self._decoded[source] = self._decoded_image(entry)
        return self._decoded[source]

    def _decoded_image(self, entry: dict[str, Any]) -> Image | None:
        try:
            if "bufferView" in entry:
                content = self.document.view(entry["bufferView"])[0]
            else:
                content = self.document.uri_bytes(entry.get("uri"))
            return self.images.decoded(content)
        except ImageSizeError:
            raise
        except (ImageError, FileNotFoundError) as error:
            self.note(f"a texture was left out: {error}")
            return None

    def sampler(self, texture: dict[str, Any]) -> Sampling:
        """How an entry of "textures" is looked up."""
        if "sampler" not in texture:
            return Sampling()
        entry = self.document.item("samplers", texture["sampler"])
        wraps = [_WRAPS.get(entry.get(name, 10497)) for name in ("wrapS", "wrapT")]
        if wraps[0] is None or wraps[1] is None:
            raise GltfError(f"samplers[{texture['sampler']}] wraps in an unknown way")
        filters: list[Any] = [entry.get(name) for name in ("magFilter", "minFilter")]
        if any(kind is not None and (not isinstance(kind, int) or kind > 2**16) for kind in filters):
            raise GltfError(f"samplers[{texture['sampler']}] has an unknown filter")
        return Sampling((wraps[0], wraps[1]), filters[0], filters[1])


class _Maps:
    """The maps of one material while it is read."""

    def __init__(self, materials: Materials) -> None:
        self.materials = materials
        self.maps: dict[MapName, MapUse] = {}

    def add(self, name: MapName, reference: Any) -> dict[str, Any]:
        """Reads what a texture reference names; returns the reference, or an empty one."""
        if reference is None:
            return {}
        if not isinstance(reference, dict):
            raise GltfError(f"the {name} texture is not an object")
        texture = self.materials.document.item("textures", part(reference, "index"))
        image = self.materials.image(texture)
        if image is not None:
            self.maps[name] = MapUse(image, self.materials.sampler(texture), _place(reference))
        return reference

    def with_metallic(self, material: Material, surface: dict[str, Any]) -> Material:
        """The material with its metallic-roughness part."""
        self.add("base_colour", surface.get("baseColorTexture"))
        self.add("metallic_roughness", surface.get("metallicRoughnessTexture"))
        return replace(
            material,
            base_factor=_factor(surface.get("baseColorFactor", [1, 1, 1, 1]), "baseColorFactor"),
            roughness=share(surface.get("roughnessFactor", 1.0), "roughnessFactor"),
            metallic=share(surface.get("metallicFactor", 1.0), "metallicFactor"),
        )

    def with_specular(self, material: Material, entry: dict[str, Any]) -> Material:
        """The material with its specular-glossiness part, converted.

        What is no metal mirrors 4 %; a specular colour above that makes a metal of that colour, in proportion.
        """
        self.add("base_colour", entry.get("diffuseTexture"))
        diffuse = _factor(entry.get("diffuseFactor", [1, 1, 1, 1]), "diffuseFactor")
        specular = np.clip(numbers(entry.get("specularFactor", [1, 1, 1]), 3, "specularFactor"), 0, 1)
        glossiness = share(entry.get("glossinessFactor", 1.0), "glossinessFactor")
        reference = entry.get("specularGlossinessTexture")
        self.add("metallic_roughness", reference)
        specular_map = self.maps.pop("metallic_roughness", None)
        if specular_map is None:
            metallic = float(_metallic(np.array(diffuse[:3]), specular))
            if metallic > 0:
                colour = (1 - metallic) * np.array(diffuse[:3]) + metallic * specular
                diffuse = (float(colour[0]), float(colour[1]), float(colour[2]), diffuse[3])
            return replace(material, base_factor=diffuse, roughness=1 - glossiness, metallic=metallic)
        return self._from_specular_map(material, diffuse, specular, glossiness, specular_map)

    def _from_specular_map(
        self,
        material: Material,
        diffuse: tuple[float, float, float, float],
        specular: Floats,
        glossiness: float,
        specular_map: MapUse,
    ) -> Material:
        image = specular_map.image
        shine = srgb_to_linear(image[:, :, :3] / 255) * specular
        gloss = (image[:, :, 3] / 255 if image.shape[2] == 4 else 1.0) * glossiness
        base = self.maps.get("base_colour")
        metallic: Floats = np.zeros(shine.shape[:2])
        if base is not None and base.image.shape[:2] == image.shape[:2] and base.place == specular_map.place:
            colour = srgb_to_linear(base.image[:, :, :3] / 255) * diffuse[:3]
            metallic = _metallic(colour, shine)
            mixed = colour * (1 - metallic[..., None]) + shine * metallic[..., None]
            painted = np.round(linear_to_srgb(mixed) * 255).astype(np.uint8)
            self.maps["base_colour"] = replace(base, image=np.concatenate([painted, base.image[:, :, 3:]], axis=2))
            diffuse = (1.0, 1.0, 1.0, diffuse[3])
        else:
            self.materials.note("a specular map was taken for one without metal, since its diffuse map is another's")
        surface = np.stack([0 * metallic, np.broadcast_to(1 - gloss, metallic.shape), metallic], axis=-1)
        converted = np.round(surface * 255).astype(np.uint8)
        self.maps["metallic_roughness"] = replace(specular_map, image=converted)
        return replace(material, base_factor=diffuse, roughness=1.0, metallic=1.0)

    def look(self, material: Material) -> Look:
        """The finished material."""
        return look_of(material, self.maps)


def _place(reference: dict[str, Any]) -> Place:
    texcoord = whole(reference.get("texCoord", 0))
    entry = extension(reference, "KHR_texture_transform")
    if entry is None:
        return Place(texcoord)
    x, y = map(float, numbers(entry.get("offset", [0, 0]), 2, "a texture's offset"))
    across, down = map(float, numbers(entry.get("scale", [1, 1]), 2, "a texture's scale"))
    angle = number(entry.get("rotation", 0), "a texture's rotation")
    cosine, sine = math.cos(angle), math.sin(angle)
    # T R S, with R counter-clockwise as one sees it: v points down.
    transform = ((cosine * across, sine * down, x), (-sine * across, cosine * down, y))
    return Place(whole(entry.get("texCoord", texcoord)), transform)


def _factor(value: Any, what: str) -> tuple[float, float, float, float]:
    red, green, blue, alpha = np.clip(numbers(value, 4, what), 0, 1)
    return float(red), float(green), float(blue), float(alpha)


def _metallic(diffuse: Floats, specular: Floats) -> Floats:
    """How metallic a diffuse and a specular colour (..., 3) are (Khronos, KHR_materials_pbrSpecularGlossiness).

    The metallic m solves base m + 0.04 (1 - m) = s and base (1 - m) (1 - 0.04) = d (1 - s) for brightnesses d and s.
    Where these are more than the light that arrives, as with the format's own default of a white specular colour, it
    is taken for no metal.
    """
    s = specular.max(axis=-1)
    d, weights = diffuse.max(axis=-1), 1 - s
    a, b, c = _DIELECTRIC, d * weights / (1 - _DIELECTRIC) + s - 2 * _DIELECTRIC, _DIELECTRIC - s
    root = (-b + np.sqrt(np.maximum(b * b - 4 * a * c, 0))) / (2 * a)
    return np.where((s <= _DIELECTRIC) | (d + s > 1), 0.0, np.clip(root, 0, 1))


def unused_extensions(document: Document) -> list[str]:
    """Extensions of the whole file that are not kept, in words."""
    known = {"KHR_lights_punctual": "lights", "KHR_materials_variants": "variants of materials"}
    used = document.extensions("extensionsUsed")
    found = [f"{what} are not kept" for name, what in known.items() if name in used]
    if entries(document.content, "animations"):
        found.append("animations are not kept: everything stands as the file poses it")
    return found
