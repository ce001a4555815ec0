"""`make sbom`: a software bill of materials (CycloneDX 1.5) of each image, and of all extras, in dist/sbom/.

It lists the Python packages with their versions, the hashes of their files and their licences. The same
uv.lock gives the same bytes. What the base image holds is for a scanner of images.
"""

import sys
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID, uuid5

from packaging.markers import Marker
from pydantic_core import from_json, to_json

from scripts.shipped import IMAGES, ROOT, export, extras, licence_of

FOLDER: Final = ROOT / "dist" / "sbom"
PYTHON: Final = "3.12"
IN_AN_IMAGE: Final = {
    "sys_platform": "linux",
    "platform_system": "Linux",
    "os_name": "posix",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "python_version": PYTHON,
    "python_full_version": f"{PYTHON}.0",
}
NAMESPACE: Final = UUID("6f1ed002-ab5f-4e3a-8f0b-6d5b2f1f0f5d")


def bill(name: str, extras_: Iterable[str]) -> dict[str, Any]:
    """The bill of an image, or of the package, by CycloneDX's schema."""
    how = ("--format", "cyclonedx1.5", "--preview-features", "sbom-export")
    found: dict[str, Any] = from_json(export(extras_, *how))
    found["components"] = [_licensed(c) for c in found["components"] if _is_there(c)]
    kept = {c["bom-ref"] for c in found["components"]}
    own = found["metadata"]["component"]
    own |= {"type": "application", "name": name}
    found["dependencies"] = [
        {**edge, "dependsOn": [ref for ref in edge.get("dependsOn", ()) if ref in kept]}
        for edge in found["dependencies"]
        if edge["ref"] in kept | {own["bom-ref"]}
    ]
    del found["metadata"]["timestamp"], found["serialNumber"]
    return found | {"serialNumber": f"urn:uuid:{uuid5(NAMESPACE, to_json(found).decode())}"}


def _is_there(component: dict[str, Any]) -> bool:
    """False for what is needed on other systems only."""
    markers = {p["value"] for p in component.get("properties", ()) if p["name"].endswith(":marker")}
    environment: Any = IN_AN_IMAGE
    return all(Marker(marker).evaluate(environment) for marker in markers)


def _licensed(component: dict[str, Any]) -> dict[str, Any]:
    return component | {"licenses": [{"expression": licence_of(component["name"])}]}


def bills() -> dict[str, bytes]:
    """By file name."""
    images = {name: bill(f"choreographed-checkout/{name}", [name]) for name in IMAGES}
    made = {**images, "all": bill("choreographed-checkout", extras())}
    return {f"{name}.cdx.json": to_json(of, indent=1) + b"\n" for name, of in made.items()}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in bills().items():
        (FOLDER / name).write_bytes(text)
        sys.stdout.write(f"{(FOLDER / name).relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
