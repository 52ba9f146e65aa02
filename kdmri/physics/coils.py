def combine(images, sensitivities):
    return (sensitivities.conj() * images).sum(dim=1, keepdim=True)
