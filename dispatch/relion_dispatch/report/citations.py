"""The papers behind the programs and methods that a project may use."""

from __future__ import annotations

from dataclasses import dataclass, field

PAPERS: dict[str, str] = {
    "relion": "Scheres SHW (2012). RELION: implementation of a Bayesian approach to cryo-EM "
    "structure determination. J. Struct. Biol. 180, 519–530. "
    "doi:10.1016/j.jsb.2012.09.006",
    "relion3": "Zivanov J, Nakane T, Forsberg BO, Kimanius D, Hagen WJH, Lindahl E, Scheres SHW "
    "(2018). New tools for automated high-resolution cryo-EM structure determination in "
    "RELION-3. eLife 7, e42166. doi:10.7554/eLife.42166",
    "relion4": "Kimanius D, Dong L, Sharov G, Nakane T, Scheres SHW (2021). New tools for "
    "automated cryo-EM single-particle analysis in RELION-4.0. Biochem. J. 478, "
    "4169–4185. doi:10.1042/BCJ20210708",
    "blush": "Kimanius D, Jamali K, Wilkinson ME, Lövestam S, Velazhahan V, Nakane T, Scheres "
    "SHW (2024). Data-driven regularization lowers the size barrier of cryo-EM "
    "structure determination. Nat. Methods 21, 1216–1221. "
    "doi:10.1038/s41592-024-02304-8",
    "gpu": "Kimanius D, Forsberg BO, Scheres SHW, Lindahl E (2016). Accelerated cryo-EM "
    "structure determination with parallelisation using GPUs in RELION-2. eLife 5, "
    "e18722. doi:10.7554/eLife.18722",
    "snakemake": "Mölder F, Jablonski KP, Letcher B, et al. (2021). Sustainable data analysis "
    "with Snakemake. F1000Research 10, 33. doi:10.12688/f1000research.29032.2",
    "motioncor2": "Zheng SQ, Palovcak E, Armache J-P, Verba KA, Cheng Y, Agard DA (2017). "
    "MotionCor2: anisotropic correction of beam-induced motion for improved cryo-electron "
    "microscopy. Nat. Methods 14, 331–332. doi:10.1038/nmeth.4193",
    "dose": "Grant T, Grigorieff N (2015). Measuring the optimal exposure for single particle "
    "cryo-EM using a 2.6 Å reconstruction of rotavirus VP6. eLife 4, e06980. "
    "doi:10.7554/eLife.06980",
    "ctffind4": "Rohou A, Grigorieff N (2015). CTFFIND4: fast and accurate defocus estimation from "
    "electron micrographs. J. Struct. Biol. 192, 216–221. doi:10.1016/j.jsb.2015.08.008",
    "gctf": "Zhang K (2016). Gctf: real-time CTF determination and correction. J. Struct. Biol. "
    "193, 1–12. doi:10.1016/j.jsb.2015.11.003",
    "templates": "Scheres SHW (2015). Semi-automated selection of cryo-EM particles in RELION-1.3. "
    "J. Struct. Biol. 189, 114–122. doi:10.1016/j.jsb.2014.11.010",
    "topaz": "Bepler T, Morin A, Rapp M, Brasch J, Shapiro L, Noble AJ, Berger B (2019). "
    "Positive-unlabeled convolutional neural networks for particle picking in "
    "cryo-electron micrographs. Nat. Methods 16, 1153–1160. "
    "doi:10.1038/s41592-019-0575-8",
    "sgd": "Punjani A, Rubinstein JL, Fleet DJ, Brubaker MA (2017). cryoSPARC: algorithms for "
    "rapid unsupervised cryo-EM structure determination. Nat. Methods 14, 290–296. "
    "doi:10.1038/nmeth.4169",
    "gold": "Scheres SHW, Chen S (2012). Prevention of overfitting in cryo-EM structure "
    "determination. Nat. Methods 9, 853–854. doi:10.1038/nmeth.2115",
    "randomised": "Chen S, McMullan G, Faruqi AR, Murshudov GN, Short JM, Scheres SHW, Henderson R "
    "(2013). High-resolution noise substitution to measure overfitting and validate "
    "resolution in 3D structure determination by single particle electron "
    "cryomicroscopy. Ultramicroscopy 135, 24–35. doi:10.1016/j.ultramic.2013.06.004",
    "rosenthal": "Rosenthal PB, Henderson R (2003). Optimal determination of particle orientation, "
    "absolute hand, and contrast loss in single-particle electron cryomicroscopy. J. "
    "Mol. Biol. 333, 721–745. doi:10.1016/j.jmb.2003.07.013",
    "ctfrefine": "Zivanov J, Nakane T, Scheres SHW (2020). Estimation of high-order aberrations "
    "and anisotropic magnification from cryo-EM data sets in RELION-3.1. IUCrJ 7, 253–267. "
    "doi:10.1107/S2052252520000081",
    "polishing": "Zivanov J, Nakane T, Scheres SHW (2019). A Bayesian approach to beam-induced "
    "motion correction in cryo-EM single-particle analysis. IUCrJ 6, 5–17. "
    "doi:10.1107/S205225251801463X",
}


@dataclass(kw_only=True)
class References:
    """Papers in the order in which a text cites them."""

    keys: list[str] = field(default_factory=list)

    def cite(self, *keys: str) -> str:
        """Return the numbers of papers, such as ``[1, 4]``."""
        for key in keys:
            if key not in self.keys:
                self.keys.append(key)
        return f"[{', '.join(str(at) for at in sorted(self.keys.index(key) + 1 for key in keys))}]"

    def listed(self) -> list[str]:
        """Return all cited papers, numbered."""
        return [f"[{at}] {PAPERS[key]}" for at, key in enumerate(self.keys, start=1)]
