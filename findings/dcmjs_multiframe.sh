#!/usr/bin/env bash
# dcmjs makes an MR series one object whose pixels are all 0, or all of the first image's RescaleSlope.
#
# Versions: dcmjs 0.51.1 (npm), pydicom 3.0.2, numpy 2.4.6.
# Input: a series of three MR images, all of stored value 1,001, with slopes of 1, 0.5 and 0.001, as scanners write
# that scale each slice to its range, and the other way round; read by dcmjs and made one enhanced object by its
# Normalizer, as segmentations start. Once as they were read, and once with PixelData, an array of one buffer, taken out
# of its array. A value is the stored value times the slope of its frame, or else the shared one, as in the standard.
# A good engineer would guess: what dcmjs reads dcmjs can take; each frame has its Pixel Value Transformation, or an
# error says that slopes differ.
# Seen: as read, all pixels of the object are 0: the array is taken for the buffer. With the buffers the stored
# values are right, but there is one slope for all frames, that of the first image: three times 1001, or three times
# 1.001. Nothing is said.
SEEN='1001 500.5 1.001: as read 0 0 0, by buffers 1001 1001 1001; 1.001 500.5 1001: as read 0 0 0, by buffers 1.001 1.001 1.001; messages 0'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq pydicom==3.0.2 numpy==2.4.6
npm install --silent --no-audit --no-fund --prefix "$work" dcmjs@0.51.1 >/dev/null

cd "$work"
venv/bin/python - <<'PYTHON'
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

def write(folder: str, slopes: list[float]) -> None:
    Path(folder).mkdir()
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for k, slope in enumerate(slopes):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, generate_uid()
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, series, frame
        image.Modality, image.Manufacturer, image.SeriesNumber, image.InstanceNumber = "MR", "Maker", 1, k + 1
        image.PatientName, image.PatientID, image.StudyID = "Phantom", "1", "1"
        image.StudyDate = image.SeriesDate = image.AcquisitionDate = "20200101"
        image.StudyTime = image.SeriesTime = image.AcquisitionTime = "120000"
        image.ImageType, image.ScanningSequence, image.SequenceVariant = ["ORIGINAL", "PRIMARY"], "GR", "NONE"
        image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, 4 * k], [1, 0, 0, 0, 1, 0]
        image.PixelSpacing, image.SliceThickness, image.SpacingBetweenSlices = [1, 1], 4, 4
        image.Rows, image.Columns, image.SamplesPerPixel = 12, 16, 1
        image.PhotometricInterpretation = "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
        image.RescaleSlope, image.RescaleIntercept, image.RescaleType = slope, 0, "US"
        image.PixelData = np.full((12, 16), 1001, np.uint16).tobytes()
        image.save_as(f"{folder}/{k}.dcm", enforce_file_format=True)

write("slopes", [1, 0.5, 0.001])
write("reversed", [0.001, 0.5, 1])
PYTHON
cat >normalise.js <<'JAVASCRIPT'
const fs = require("fs");
const dcmjs = require("dcmjs");
const { DicomMessage, DicomMetaDictionary } = dcmjs.data;
function objectOf(folder, unpacked) {
  const images = fs.readdirSync(folder).sort().map((name) => {
    const bytes = fs.readFileSync(`${folder}/${name}`);
    const file = DicomMessage.readFile(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    return DicomMetaDictionary.naturalizeDataset(file.dict);
  });
  if (unpacked) images.forEach((image) => (image.PixelData = image.PixelData[0]));
  const enhanced = dcmjs.normalizers.Normalizer.normalizeToDataset(images);
  const first = (item) => (Array.isArray(item) ? item[0] : item);
  const shared = first(first(enhanced.SharedFunctionalGroupsSequence).PixelValueTransformationSequence);
  const frames = [enhanced.PerFrameFunctionalGroupsSequence].flat();
  const own = frames.map((frame) => first(frame.PixelValueTransformationSequence));
  const stored = new Uint16Array(first(enhanced.PixelData));
  const values = own.map((item, k) => stored[k * 192] * Number((item ?? shared).RescaleSlope));
  return values.map((value) => +value.toPrecision(6)).join(" ");
}
const parts = ["slopes", "reversed"].map((name) => `${objectOf(name, false)}, by buffers ${objectOf(name, true)}`);
console.log(`1001 500.5 1.001: as read ${parts[0]}; 1.001 500.5 1001: as read ${parts[1]}`);
JAVASCRIPT
node normalise.js >said 2>&1
line="$(tail -1 said); messages $(($(wc -l <said) - 1))"
echo "$line"
[[ $line == "$SEEN" ]]
