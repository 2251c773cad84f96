"""What stands in a picture."""

import xml.etree.ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    return [item.text or "" for item in ET.fromstring(picture).iter(f"{SVG}text")]
