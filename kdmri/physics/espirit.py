def calibration_size(mask):
    return (24, 24)
