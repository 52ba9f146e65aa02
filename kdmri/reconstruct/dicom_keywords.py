"""Which attributes an image keeps of the one that it is derived from, by keyword.

What is in no list is left out: values of the stored pixels (PixelPaddingValue, lookup tables, real
world values), overlays, icons, signatures, and all private attributes. Modules are those of the MR
Image IOD (PS3.3 A.4.3).
"""

from collections.abc import Callable
from typing import Any


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SCAN = _words(
    """
    Modality ScanningSequence SequenceVariant ScanOptions MRAcquisitionType SequenceName AngioFlag
    RepetitionTime EchoTime InversionTime NumberOfAverages ImagingFrequency ImagedNucleus
    EchoNumbers
    MagneticFieldStrength NumberOfPhaseEncodingSteps EchoTrainLength PercentSampling
    PercentPhaseFieldOfView PixelBandwidth TriggerTime NominalInterval BeatRejectionFlag LowRRValue
    HighRRValue IntervalsAcquired IntervalsRejected SkipBeats HeartRate
    CardiacNumberOfImages TriggerWindow ReconstructionDiameter AcquisitionMatrix
    InPlanePhaseEncodingDirection FlipAngle VariableFlipAngleFlag SAR dBdt B1rms
    TemporalPositionIdentifier NumberOfTemporalPositions TemporalResolution
    SliceProgressionDirection IsocenterPosition AcquisitionDuration AcquisitionNumber
    ImagesInAcquisition BodyPartExamined PatientPosition Laterality ImageLaterality
    AnatomicalOrientationType QualityControlImage BurnedInAnnotation RecognizableVisualFeatures
    LossyImageCompression LossyImageCompressionRatio LossyImageCompressionMethod Manufacturer
    ManufacturerModelName SoftwareVersions SpatialResolution ContrastBolusVolume
    ContrastBolusTotalDose ContrastFlowRate ContrastFlowDuration ContrastBolusIngredient
    ContrastBolusIngredientConcentration RescaleType
    """
)
"""How it was scanned. None of them is in the table of PS3.15 E.1 (2026c); the only texts among
them name sequence, nucleus, scanner and software."""

PLACE = _words(
    """
    ImageOrientationPatient ImagePositionPatient PixelSpacing SliceThickness SpacingBetweenSlices
    SliceLocation
    """
)
"""Where it lies."""

DISTANCES = ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices")
"""What is known of images without a place."""

WINDOW = ("WindowCenter", "WindowWidth", "VOILUTFunction")
"""How it is shown; in the units of the image, not in those of its stored values."""

PERSON = _words(
    """
    ReferencedPatientSequence PatientName PatientID IssuerOfPatientID TypeOfPatientID
    IssuerOfPatientIDQualifiersSequence SourcePatientGroupIdentificationSequence
    GroupOfPatientsIdentificationSequence PatientBirthDate PatientBirthTime
    PatientBirthDateInAlternativeCalendar PatientDeathDateInAlternativeCalendar
    PatientAlternativeCalendar PatientSex QualityControlSubject StrainDescription
    StrainNomenclature StrainStockSequence StrainAdditionalInformation StrainCodeSequence
    GeneticModificationsSequence OtherPatientIDs OtherPatientNames OtherPatientIDsSequence
    EthnicGroup EthnicGroupCodeSequence PatientSpeciesDescription PatientSpeciesCodeSequence
    PatientBreedDescription PatientBreedCodeSequence BreedRegistrationSequence ResponsiblePerson
    ResponsiblePersonRole ResponsibleOrganization PatientComments PatientIdentityRemoved
    DeidentificationMethod DeidentificationMethodCodeSequence ClinicalTrialSponsorName
    ClinicalTrialProtocolID ClinicalTrialProtocolName IssuerOfClinicalTrialProtocolID
    OtherClinicalTrialProtocolIDsSequence ClinicalTrialSiteID ClinicalTrialSiteName
    IssuerOfClinicalTrialSiteID ClinicalTrialSubjectID IssuerOfClinicalTrialSubjectID
    ClinicalTrialSubjectReadingID IssuerOfClinicalTrialSubjectReadingID
    ClinicalTrialProtocolEthicsCommitteeName ClinicalTrialProtocolEthicsCommitteeApprovalNumber
    ClinicalTrialTimePointID ClinicalTrialTimePointDescription
    LongitudinalTemporalOffsetFromEvent LongitudinalTemporalEventType
    ClinicalTrialTimePointTypeCodeSequence IssuerOfClinicalTrialTimePointID
    ConsentForClinicalTrialUseSequence ClinicalTrialCoordinatingCenterName ClinicalTrialSeriesID
    ClinicalTrialSeriesDescription IssuerOfClinicalTrialSeriesID StudyDate StudyTime
    AccessionNumber IssuerOfAccessionNumberSequence ReferringPhysicianName
    ReferringPhysicianIdentificationSequence ConsultingPhysicianName
    ConsultingPhysicianIdentificationSequence StudyDescription ProcedureCodeSequence
    PhysiciansOfRecord PhysiciansOfRecordIdentificationSequence NameOfPhysiciansReadingStudy
    PhysiciansReadingStudyIdentificationSequence ReferencedStudySequence StudyID RequestingService
    RequestingServiceCodeSequence ReasonForPerformedProcedureCodeSequence
    AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence PatientAge PatientSize
    PatientSizeCodeSequence PatientBodyMassIndex MeasuredAPDimension MeasuredLateralDimension
    PatientWeight MedicalAlerts Allergies Occupation SmokingStatus AdditionalPatientHistory
    PregnancyStatus LastMenstrualDate PatientSexNeutered ReasonForVisit
    ReasonForVisitCodeSequence AdmissionID IssuerOfAdmissionIDSequence ServiceEpisodeID
    ServiceEpisodeDescription IssuerOfServiceEpisodeIDSequence PatientState
    PerformingPhysicianName PerformingPhysicianIdentificationSequence OperatorsName
    OperatorIdentificationSequence ReferencedPerformedProcedureStepSequence ProtocolName
    PerformedProcedureStepStartDate PerformedProcedureStepStartTime PerformedProcedureStepEndDate
    PerformedProcedureStepEndTime PerformedProcedureStepID PerformedProcedureStepDescription
    PerformedProtocolCodeSequence RequestAttributesSequence
    CommentsOnThePerformedProcedureStep PositionReferenceIndicator InstitutionName
    InstitutionAddress StationName InstitutionalDepartmentName
    InstitutionalDepartmentTypeCodeSequence DeviceSerialNumber DeviceUID GantryID UDISequence
    ManufacturerDeviceClassUID DateOfLastCalibration TimeOfLastCalibration DateOfManufacture
    DateOfInstallation AcquisitionDate AcquisitionTime AcquisitionDateTime
    AnatomicRegionSequence PrimaryAnatomicStructureSequence ImageComments ReceiveCoilName
    TransmitCoilName ContrastBolusAgent ContrastBolusAgentSequence
    ContrastBolusAdministrationRouteSequence ContrastBolusRoute ContrastBolusStartTime
    ContrastBolusStopTime TimezoneOffsetFromUTC LongitudinalTemporalInformationModified
    ContributingEquipmentSequence ReferencedImageSequence PVCRejection
    WindowCenterWidthExplanation
    """
)
"""Whom, when, where and why, and free text; left out of what is anonymous."""

Brought = Callable[[Any], Any]

CLASSIC_NAMES: dict[str, tuple[str, Brought]] = {
    "EchoTime": ("EffectiveEchoTime", float),
    "InversionTime": ("InversionTimes", float),
    "TriggerTime": ("NominalCardiacTriggerDelayTime", float),
    "TemporalPositionIdentifier": ("TemporalPositionIndex", int),
    "ImagingFrequency": ("TransmitterFrequency", float),
    "ImagedNucleus": ("ResonantNucleus", str),
    "AcquisitionNumber": ("FrameAcquisitionNumber", int),
    "ImageLaterality": ("FrameLaterality", str),
}
"""Attributes of classic MR images, what enhanced ones call them, and their type."""
