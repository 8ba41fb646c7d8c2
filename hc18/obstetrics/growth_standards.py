"""Names, versions and citations of the published equations behind every age and percentile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standard:
    """A published equation as implemented here; printed with every number that comes from it.

    Attributes:
        key: stable name for records and files.
        name: for readers.
        version: of the implementation; raised whenever the same input would give another number.
        citation: the publication.
    """

    key: str
    name: str
    version: int
    citation: str

    def __str__(self) -> str:
        return self.name


HADLOCK_1984 = Standard(
    "hadlock_1984_ga_from_hc",
    "Hadlock 1984",
    1,
    "Hadlock FP, Deter RL, Harrist RB, Park SK. Estimating fetal age: computer-assisted analysis of multiple fetal "
    "growth parameters. Radiology 1984;152(2):497-501.",
)
INTERGROWTH_DATING_2016 = Standard(
    "intergrowth21_2016_ga_from_hc",
    "INTERGROWTH-21st dating 2016",
    1,
    "Papageorghiou AT, Kemp B, Stones W, et al. Ultrasound-based gestational-age estimation in late pregnancy. "
    "Ultrasound Obstet Gynecol 2016;48(6):719-726. doi:10.1002/uog.15894",
)
INTERGROWTH_CRL_2014 = Standard(
    "intergrowth21_2014_ga_from_crl",
    "INTERGROWTH-21st CRL 2014",
    1,
    "Papageorghiou AT, Kennedy SH, Salomon LJ, et al. International standards for early fetal size and pregnancy "
    "dating based on ultrasound measurement of crown-rump length in the first trimester of pregnancy. Ultrasound "
    "Obstet Gynecol 2014;44(6):641-648. doi:10.1002/uog.13448",
)
INTERGROWTH_HC_2014 = Standard(
    "intergrowth21_2014_hc_for_ga",
    "INTERGROWTH-21st fetal HC 2014",
    1,
    "Papageorghiou AT, Ohuma EO, Altman DG, et al. International standards for fetal growth based on serial "
    "ultrasound measurements: the Fetal Growth Longitudinal Study of the INTERGROWTH-21st Project. Lancet "
    "2014;384(9946):869-879. doi:10.1016/S0140-6736(14)61490-2",
)
