"""Trees of files as data sets of the field have them, and who was scanned in each file."""

Tree = dict[str, list[str]]
"""Files, by the subject they are of; those of the subject "" are no images."""


def each(names: list[str], *templates: str) -> Tree:
    """Fill the names of subjects into templates of paths."""
    return {name: [template.replace("{}", name) for template in templates] for name in names}


BIDS = {
    "sub-01": [
        "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz",
        "sub-01/ses-2/func/sub-01_ses-2_task-rest_run-1_bold.nii.gz",
    ],
    "sub-02": ["sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz"],
    "": [
        "sub-01/ses-1/anat/sub-01_ses-1_desc-brain_mask.nii.gz",
        "sub-01/ses-1/anat/sub-01_ses-1_label-GM_probseg.nii.gz",
        "sub-02/ses-1/anat/sub-02_ses-1_dseg.nii.gz",
        "derivatives/fmriprep/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz",
    ],
}

TREES: dict[str, Tree] = {
    "BIDS with sessions and derivatives": BIDS,
    "BIDS, flat": each(
        ["sub-01", "sub-02", "sub-10"], "{}_ses-1_T1w.nii.gz", "{}_ses-2_T1w.nii.gz"
    ),
    "BIDS names below contrasts": each(["sub-A1", "sub-B2"], "T1/{}_T1w.nii", "FLAIR/{}_FLAIR.nii"),
    "BIDS, a sub folder in a release": each(["sub-1", "sub-2"], "ds000001/{}/anat/{}_T1w.nii.gz"),
    "IXI, contrasts outside": each(
        ["IXI001", "IXI002", "IXI013"],
        "T1/{}-Guys-0828-T1.nii.gz",
        "T2/{}-Guys-0828-T2.nii.gz",
        "PD/{}-Guys-0828-PD.nii.gz",
    ),
    "IXI, folders as they are called": each(
        ["IXI001", "IXI002"], "IXI-T1/{}-HH-1211-T1.nii.gz", "IXI-PD/{}-HH-1211-PD.nii.gz"
    ),
    "IXI, flat": each(["IXI001", "IXI002"], "{}-HH-1211-T1.nii.gz", "{}-HH-1211-T2.nii.gz"),
    "IXI, one contrast": each(["IXI001", "IXI002"], "IXI-T1/{}-HH-1211-T1.nii.gz"),
    "Decathlon": {
        **each(["hippocampus_001", "hippocampus_004"], "imagesTr/{}.nii.gz"),
        **each(["hippocampus_002"], "imagesTs/{}.nii.gz"),
        "": ["labelsTr/hippocampus_001.nii.gz", "labelsTr/hippocampus_004.nii.gz"],
    },
    "Decathlon, two tasks": {
        "BRATS_001": ["Task01_BrainTumour/imagesTr/BRATS_001.nii.gz"],
        "BRATS_002": ["Task01_BrainTumour/imagesTr/BRATS_002.nii.gz"],
        "la_003": ["Task02_Heart/imagesTr/la_003.nii.gz"],
        "": ["Task02_Heart/labelsTr/la_003.nii.gz"],
    },
    "nnU-Net": {
        **each(
            ["BRATS_001", "BRATS_002"],
            "Dataset001_BRATS/imagesTr/{}_0000.nii.gz",
            "Dataset001_BRATS/imagesTr/{}_0003.nii.gz",
        ),
        "": ["Dataset001_BRATS/labelsTr/BRATS_001.nii.gz"],
    },
    "BraTS, grades outside": {
        **each(
            ["BraTS19_CBICA_AAB_1", "BraTS19_CBICA_ABE_1"],
            "HGG/{}/{}_t1.nii.gz",
            "HGG/{}/{}_flair.nii.gz",
        ),
        **each(["BraTS19_TCIA_09"], "LGG/{}_1/{}_1_t1ce.nii.gz"),
        "": ["HGG/BraTS19_CBICA_AAB_1/BraTS19_CBICA_AAB_1_seg.nii.gz"],
    },
    "BraTS 2021, flat": each(["BraTS2021_00000", "BraTS2021_00002"], "{}_t1.nii", "{}_t1ce.nii"),
    "BraTS 2023, two times": each(
        ["BraTS-GLI-00001", "BraTS-GLI-00007"], "{}-000/{}-000-t1n.nii.gz", "{}-001/{}-001-t2w.nii"
    ),
    "ADNI": each(
        ["002_S_0295", "002_S_0413", "005_S_0221"],
        "{}/MP-RAGE/2006-04-18_08_20_30.0/I13722/ADNI_{}_MR_MP-RAGE__br_raw_2006_1_I1.nii",
        "{}/MP-RAGE/2007-05-12_09_11_12.0/I13999/ADNI_{}_MR_MP-RAGE__br_raw_2007_1_I2.nii",
    ),
    "ADNI, flat": each(["002_S_0295", "002_S_0413"], "ADNI_{}_MR_1.nii", "ADNI_{}_MR_2.nii"),
    "OASIS, sessions of one person": each(
        ["OAS1_0001", "OAS2_0001"],
        "disc1/{}_MR1/RAW/{}_MR1_mpr-1_anon.nii",
        "disc2/{}_MR2/RAW/{}_MR2_mpr-1_anon.nii",
    ),
    "OASIS 3": each(["OAS30001", "OAS30002"], "{}_MR_d0129/anat1/x.nii.gz", "{}_MR_d0757/x.nii"),
    "HCP": each(
        ["100307", "100408"],
        "{}/T1w/T1w_acpc_dc_restore.nii.gz",
        "{}/MNINonLinear/T1w.nii.gz",
        "{}/MNINonLinear/Results/rfMRI_REST1_LR/rfMRI_REST1_LR.nii.gz",
        "{}/MNINonLinear/Results/rfMRI_REST2_LR/rfMRI_REST2_LR.nii.gz",
    ),
    "HCP, flat": each(["100307", "100408"], "{}_3T_T1w_MPR1.nii.gz", "{}_3T_T2w_SPC1.nii.gz"),
    "ABIDE": each(
        ["Pitt_0050003", "Pitt_0050004", "NYU_0050954"], "{}/session_1/anat_1/mprage.nii.gz"
    ),
    "ABIDE, flat": each(
        ["Pitt_0050003", "NYU_0050954"], "{}_anat.nii.gz", "{}_func_preproc.nii.gz"
    ),
    "UK Biobank, two visits": each(
        ["1000011", "1000027"], "{}_20252_2_0/T1/T1.nii.gz", "{}_20252_3_0/T1/T1.nii.gz"
    ),
    "a folder a person": each(["anna", "bert"], "{}/T1.nii.gz", "{}/T2.nii.gz"),
    "a folder a person, protocol names": each(
        ["anna", "bert", "p3"], "{}/mprage_p2_iso1.nii.gz", "{}/tse_tra_384.nii.gz"
    ),
    "a folder a person, slices": each(["anna", "p2"], "{}/slice_001.npy", "{}/slice_002.npy"),
    "a folder a person, scans": each(
        ["anna", "bert"], "{}/scan1.npy", "{}/scan2.npy", "{}/img_003.npy"
    ),
    "a numbered folder a person, numbers": each(["case1", "case2"], "{}/1.npy", "{}/2.npy"),
    "folders of bare numbers": each(["1", "2", "10"], "{}/t1.nii", "{}/t2.nii"),
    "one person": each(["anna"], "{}/t1.nii", "{}/1.nii"),
    "flat, numbers": each(["1", "2", "10"], "{}.nii"),
    "flat, words": each(["anna", "bert"], "{}_T1.nii", "{}_T2.nii", "{}_followup.nii"),
    "flat, contrast first": each(["001", "002"], "T1_{}.nii", "T2_{}.nii"),
    "flat, sessions behind": each(["p1", "p2"], "{}_v1.nii", "{}_v2.nii", "{}_run-03.nii"),
    "flat, dates": each(["p1", "p2"], "20190103_{}.nii", "20190207_{}.nii"),
    "flat, dates in parts": each(["anna", "bert"], "2021-03-04_{}.nii", "{}_2022-01-01.nii"),
    "flat, dates with days first": each(["anna", "bert"], "04.03.2021_{}.nii", "01.02.2022-{}.nii"),
    "flat, dates and times": each(
        ["p1", "p2"], "2021-03-04_08-20-30_{}.nii", "2021_03_04T09:10:11_{}.nii", "{}.nii"
    ),
    "folders of dates outside": each(["anna", "b7"], "2021-03-04/{}/1.nii", "2022-01-01/{}.nii"),
    "folders of dates inside": each(["anna", "b7"], "{}/2021-03-04/t1.nii", "{}/2022-01-01/t1.nii"),
    "flat, one person's slices": each(["study"], "slice_001.npy", "slice_002.npy", "T1.npy"),
    "flat, musculoskeletal": each(["msk_001", "msk_002"], "{}_PD.nii"),
    "splits with persons below": {
        "p1": ["train/p1/t1.nii", "train/p1/t2.nii"],
        "p2": ["validation/p2/t1.nii"],
        "p3": ["test/p3.nii"],
    },
    "sites outside": each(["p01"], "siteA/{}/t1.nii", "siteB/{}/t1.nii"),
    "sites outside, bare": {
        "p01": ["site1/p01.nii"],
        "p02": ["site1/p02.nii"],
        "p03": ["site2/p03.nii"],
    },
    "a wrapper": each(["p01", "p02"], "export/{}/t1.nii", "export/{}/t2.nii"),
    "labels of several habits": {
        "p1": ["p1/t1.nii", "p1/masked_t1.nii"],
        "p2": ["p2/t1.nii"],
        "": [
            "p1/t1_mask.nii",
            "p1/brainmask.nii.gz",
            "p1/aseg.nii",
            "p1/aparc+aseg.nii",
            "p2/t1_gt.nii",
            "p2/segmentation.nii",
            "masks/p2.nii",
            "labels/p2.nii",
            "p2/t1_label.nii",
            "p2/t1-seg.nii",
        ],
    },
}

AMBIGUOUS = {
    "unknown words outside": each(["p1", "p2", "p3"], "before/{}.nii", "after/{}.nii"),
    "unknown words outside, numbers": each(["1", "2"], "before/{}.nii", "after/{}.nii"),
    "years outside": each([f"p{n:03}" for n in range(5)], "2019/{}.nii", "2020/{}.nii"),
    "numbered slices of persons": each(["s001", "s002", "s003"], "p1/{}.npy", "p2/{}.npy"),
    "groups of which one person is in both": {
        "p1": ["before/p1.nii", "after/p1.nii"],
        "p2": ["before/p2.nii"],
    },
    "as many names as folders": each(["s1", "s2", "s3"], "A1/{}.nii", "A2/{}.nii", "A3/{}.nii"),
    "sessions without a word": each(["1", "2"], "anna/{}/t1.nii", "bert/{}/t1.nii"),
}
"""Trees where folder or file may be the person."""
