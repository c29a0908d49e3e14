"""Oxford-IIIT Pet: 7,349 cats and dogs with trimaps, downloaded once and checked.

O. M. Parkhi, A. Vedaldi, A. Zisserman, C. V. Jawahar, "Cats and Dogs", CVPR 2012. Licence of the
data: CC BY-SA 4.0.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from dataloader.sample import check_split_name
from dataloader.sources.download import Archive, Progress, download
from dataloader.sources.image_files import fraction_of
from dataloader.sources.label_map import LabelMap
from dataloader.sources.labelled_images import LabelledImages
from dataloader.sources.paired_files import Pair, PairedFiles, stamp_of_pairs
from ops.images.framing import Framing
from utils.errors import UserError
from utils.storage import exists, is_remote, join, read_text, resolve, shown

URL = "https://thor.robots.ox.ac.uk/~vgg/data/pets"
ARCHIVES = (
    Archive("images.tar.gz", "5c4f3ee8e5d25df40f4fd59a7f44e54c"),  # pragma: allowlist secret
    Archive("annotations.tar.gz", "95a8c909bbe2e81eed6a22bccdf3f68f"),  # pragma: allowlist secret
)
_CLASS_NAMES = ("pet", "background", "border")
_TRIMAP_VALUES = (1, 2, 3)  # as the files hold them
_LAYOUT = ("images", "annotations/trimaps", "annotations/trainval.txt", "annotations/test.txt")


class OxfordPets(LabelledImages):
    """The pets in their official layout, below `root`.

    images/NAME.jpg, annotations/trimaps/NAME.png (1 pet, 2 background, 3 border),
    annotations/trainval.txt (3,680 lines) and annotations/test.txt (3,669 lines).
    """

    def __init__(
        self,
        root: str = "data/oxford_pets",
        image_size: int | Sequence[int] = 128,
        download: bool = True,
        validation: float | Literal["test"] = "test",
        url: str = URL,
        progress: Progress | None = None,
    ) -> None:
        """Check the settings; files are looked for when a split is asked for.

        Args:
            root: The folder, absolute or relative to the project, or a URL that fsspec knows.
            image_size: Height and width in pixels that every sample is resized to; one number for
                a square.
            download: Fetch the data (about 0.8 GB) if the folder is not there.
            validation: "test" trains on all of trainval and validates on the official test list,
                as the experiment that this reproduces did (TensorFlow's tutorial "Image
                segmentation"). A share above 0 and below 1 takes that part of trainval instead and
                leaves the test list untouched: choose it where models are compared.
            url: Where the two archives are: http://, https:// or file://.
            progress: Called with (file, bytes done, bytes in all) during the download.

        Raises:
            UserError: If a setting is impossible.
        """
        if validation != "test" and not (
            isinstance(validation, float | int) and 0 < validation < 1
        ):
            raise UserError(
                "validation must be 'test', or a share of trainval above 0 and below 1. "
                f"Received: {validation!r}"
            )
        super().__init__(_CLASS_NAMES, image_size)
        self.root = resolve(root)
        self._download = download
        self._validation = validation
        self._url = url.rstrip("/")
        self._progress = progress
        remedy = "Replace the file by the one in annotations.tar.gz."
        self._labels = LabelMap(self.class_names, _TRIMAP_VALUES, remedy=remedy)

    @cached_property
    def fingerprint(self) -> str:
        """A text that changes with any file or setting."""
        pairs = [*self._listed("trainval.txt"), *self._listed("test.txt")]
        return "oxford-pets-" + stamp_of_pairs(pairs, self._validation)

    def split(self, name: str) -> PairedFiles:
        """Return "train", "validation" or "test"; downloads the data when needed.

        Raises:
            UserError: If the data is not there and cannot be downloaded, or the split is empty.
        """
        check_split_name(name)
        official = name == "test" or (name == "validation" and self._validation == "test")
        pairs = self._listed("test.txt" if official else "trainval.txt")
        if not official and self._validation != "test":
            share, wanted = float(self._validation), name == "validation"
            pairs = [pair for pair in pairs if (fraction_of(pair.name) < share) == wanted]
        if not pairs:
            raise UserError(f"{shown(self.root)}: no images for the split {name!r}.")
        return PairedFiles(pairs, self._labels, Framing(self.image_size), self.channels)

    def _listed(self, file: str) -> list[Pair]:
        """Read one of the official lists: a name and three numbers a line."""
        self._make_complete()
        path = join(self.root, "annotations", file)
        lines = [line.split() for line in read_text(path).splitlines()]
        names = [words[0] for words in lines if words and not words[0].startswith("#")]
        images, masks = join(self.root, "images"), join(self.root, "annotations", "trimaps")
        return [Pair(n, join(images, f"{n}.jpg"), join(masks, f"{n}.png")) for n in names]

    def _make_complete(self) -> None:
        missing = _missing(self.root)
        if not missing:
            return
        archives = f"{' and '.join(a.name for a in ARCHIVES)} from {self._url}"
        state = f"{shown(self.root)}: there is no {', no '.join(missing)} here"
        if len(missing) < len(_LAYOUT):
            raise UserError(
                f"{state}, though other parts of Oxford-IIIT Pet are. Unpack both {archives} into "
                "this folder, or remove it to have it downloaded."
            )
        if not self._download or is_remote(self.root):
            raise UserError(
                f"{state}. Set data.source.download: true (local folders only), or unpack "
                f"{archives} into this folder."
            )
        target = Path(self.root)
        download(self._url, ARCHIVES, target, lambda p: not _missing(str(p)), self._progress)


def _missing(root: str) -> list[str]:
    return [part for part in _LAYOUT if not exists(join(root, *part.split("/")))]
