"""The bill of materials of a host as a CycloneDX document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from deploys.lib.bill import Part

VERSION = SchemaVersion.V1_6
TYPES = {
    "file": ComponentType.APPLICATION,
    "model": ComponentType.MACHINE_LEARNING_MODEL,
    "image": ComponentType.CONTAINER,
}
ALGORITHMS = {"sha256": HashAlgorithm.SHA_256, "sha512": HashAlgorithm.SHA_512}


def _purl(part: Part, system: Mapping[str, str]) -> PackageURL:
    if part.kind == "deb":
        architecture, source, source_version = part.words
        words = {"arch": architecture, "distro": f"{system['ID']}-{system['VERSION_ID']}"}
        if (source, source_version) != (part.name, part.version):
            words["upstream"] = f"{source}@{source_version}"
        return PackageURL("deb", system["ID"], part.name, part.version, words)
    if part.kind == "file":
        return PackageURL.from_string(part.words[0])
    if part.kind == "npm":
        scope, _, name = part.name.rpartition("/")
        return PackageURL("npm", scope or None, name, part.version)
    if part.kind == "image":
        return PackageURL("oci", None, part.name.rpartition("/")[2].partition(":")[0], part.hashes[0])
    if part.kind == "model":
        return PackageURL("generic", part.component, part.name, part.version, {"checksum": part.hashes[0]})
    return PackageURL(part.kind, None, part.name, part.version)


def _hash(text: str) -> HashType:
    kind, _, digest = text.partition(":")
    return HashType(alg=ALGORITHMS[kind], content=digest)


def _component(part: Part, system: Mapping[str, str]) -> Component:
    purl = _purl(part, system)
    locked = part.kind == "pypi" and part.hashes
    where = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        # Of which index or mirror it came is the host's to say (/etc/pip.conf); a purl is a URI as well.
        url=XsUri(purl.to_string()),
        comment="the installed file has one of these digests: they are those of the lock, for every platform",
        hashes=[_hash(one) for one in part.hashes],
    )
    return Component(
        type=TYPES.get(part.kind, ComponentType.LIBRARY),
        name=part.name,
        version=part.version or None,
        # The same package is in several environments.
        bom_ref=f"{part.component}:{purl.to_string()}",
        purl=purl,
        hashes=[] if part.kind == "pypi" else [_hash(one) for one in part.hashes],
        external_references=[where] if locked else [],
        properties=[Property(name="portcullis:component", value=part.component)],
    )


def document(host: str, system: Mapping[str, str], found: Iterable[Part], revision: str) -> str:
    """The bill as JSON. ``system`` has the fields of /etc/os-release, ``revision`` is the toolkit's."""
    root = Component(type=ComponentType.DEVICE, name=host, bom_ref=f"host:{host}")
    operating = Component(
        type=ComponentType.OPERATING_SYSTEM, name=system["ID"], version=system["VERSION_ID"], bom_ref="operating-system"
    )
    made = [operating, *{part: _component(part, system) for part in found}.values()]
    bom = Bom(components=made)
    bom.metadata.component = root
    bom.metadata.tools.components.add(Component(type=ComponentType.APPLICATION, name="portcullis", version=revision))
    bom.register_dependency(root, made)
    return make_outputter(bom, OutputFormat.JSON, VERSION).output_as_string(indent=2) + "\n"
