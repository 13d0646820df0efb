"""The phases of a step, each a function of tensors that adds to gradients and gives figures.

Gradient penalties are taken through the augmentation, to the pictures as they come from the loader.

`torch.compile` has no double backward. Where networks are compiled, the inner gradient is taken by
`torch.func.grad` inside the compiled function, so that what is left outside is first order; the
augmentation stays outside, and since it is affine in the picture, its adjoint carries the inner
gradient on to the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad

from training import losses
from training.augment import AugmentParameters, AugmentPipe
from training.build import Networks


class Phases:
    """Forward and backward passes of each phase on one micro-batch.

    Every phase takes tensors only, or None, so that it can be recorded as a CUDA graph; `share` is
    that of the micro-batch in the step, a weight comes as a tensor since it may change.

    Parameters
    ----------
    networks
        The one that is trained has `requires_grad`, the other has not.
    pipe
        None: no augmentation.
    relativistic
        Pairs of real and generated pictures are compared.
    share
        1 / micro-batches of a step.
    compiled
        Whether networks are compiled.
    """

    def __init__(
        self,
        networks: Networks,
        pipe: AugmentPipe | None,
        *,
        relativistic: bool,
        share: float,
        compiled: bool,
    ) -> None:
        self.G, self.D, self.pipe = networks.G, networks.D, pipe
        self.relativistic, self.share, self.compiled = relativistic, share, compiled
        self._compile()

    def main_G(
        self,
        z: Tensor,
        z_mix: Tensor,
        cutoff: Tensor,
        labels: Tensor | None,
        geometry: Tensor | None,
        colour: Tensor | None,
        real: Tensor | None,
        real_labels: Tensor | None,
        *noises: Tensor,
    ) -> tuple[Tensor, ...]:
        """Train G on its loss; gives the loss and the mean of w, of shape (w_dim,).

        With the relativistic loss, `geometry` and `colour` are those of the generated pictures,
        then of the real ones; otherwise `real` is None.
        """
        fake, w = self._generate(z, z_mix, cutoff, labels, list(noises))
        n = len(z)
        real_logits = None
        if real is None:
            fake_logits = self._judge(self.augmented(fake, geometry, colour), labels)
        else:
            both = self.augmented(torch.cat([fake, real]), geometry, colour)
            fake_logits = self._judge(both[:n], labels)
            real_logits = self._judge(both[n:], real_labels)
        loss = losses.generator_loss(fake_logits, real_logits).mean()
        _backward(loss * self.share)
        return loss.detach(), w.detach().float().mean(0)

    def path_G(
        self,
        z: Tensor,
        z_mix: Tensor,
        cutoff: Tensor,
        labels: Tensor | None,
        direction: Tensor,
        mean: Tensor,
        weight: Tensor,
        *noises: Tensor,
    ) -> tuple[Tensor, ...]:
        """Train G on path length; gives the mean length."""
        gradient = self.path_gradient(z, z_mix, cutoff, labels, direction, list(noises))
        lengths = losses.path_lengths(gradient)
        _backward(losses.path_penalty(lengths, mean).mean() * weight)
        return (lengths.detach().mean(),)

    def main_D(
        self,
        z: Tensor,
        z_mix: Tensor,
        cutoff: Tensor,
        labels: Tensor | None,
        geometry: Tensor | None,
        colour: Tensor | None,
        real: Tensor,
        real_labels: Tensor | None,
        *noises: Tensor,
    ) -> tuple[Tensor, ...]:
        """Train D on its loss; gives loss, mean logits of both kinds, mean sign on real pictures.

        `geometry` and `colour` are those of the generated pictures, then of the real ones.
        """
        fake = self.generated(z, z_mix, cutoff, labels, list(noises))
        # One application for both: half the kernels.
        both = self.augmented(torch.cat([fake, real]), geometry, colour)
        fake_logits = self._judge(both[: len(z)], labels)
        real_logits = self._judge(both[len(z) :], real_labels)
        loss = losses.discriminator_loss(
            fake_logits, real_logits, relativistic=self.relativistic
        ).mean()
        _backward(loss * self.share)
        # Trained on differences alone, D may move all logits together: only pairs have a sign.
        certain = real_logits - fake_logits if self.relativistic else real_logits
        told = (loss, fake_logits.mean(), real_logits.mean(), certain.sign().mean())
        return tuple(figure.detach() for figure in told)

    def penalty_D(
        self,
        pictures: Tensor,
        labels: Tensor | None,
        geometry: Tensor | None,
        colour: Tensor | None,
        weight: Tensor,
    ) -> tuple[Tensor, ...]:
        """Train D on the gradient at pictures, R1 or R2; gives its mean squared norm."""
        gradient = self.picture_gradient(pictures, labels, geometry, colour)
        penalty = losses.gradient_penalty(gradient).mean()
        _backward(penalty * weight)
        return (penalty.detach(),)

    def generated(
        self,
        z: Tensor,
        z_mix: Tensor,
        cutoff: Tensor,
        labels: Tensor | None,
        noises: list[Tensor],
    ) -> Tensor:
        """Give pictures without a gradient."""
        with torch.no_grad():
            pictures: Tensor = self._generate(z, z_mix, cutoff, labels, noises)[0]
        return pictures

    def augmented(self, pictures: Tensor, geometry: Tensor | None, colour: Tensor | None) -> Tensor:
        """Give augmented pictures."""
        if self.pipe is None:
            return pictures
        assert geometry is not None
        assert colour is not None
        return self.pipe.apply(pictures, AugmentParameters(geometry, colour))

    def picture_gradient(
        self,
        pictures: Tensor,
        labels: Tensor | None,
        geometry: Tensor | None,
        colour: Tensor | None,
    ) -> Tensor:
        """Give the gradient of D's logits at pictures, itself differentiable in D's weights."""
        raw = pictures.detach().requires_grad_()
        augmented = self.augmented(raw, geometry, colour)
        if not self.compiled:
            logits = self.D(augmented, labels)
            return torch.autograd.grad(logits.sum(), raw, create_graph=True)[0]
        inner: Tensor = self._judge_gradient(augmented.detach(), labels)
        if self.pipe is None:
            return inner
        return torch.autograd.grad(augmented, raw, inner, create_graph=True)[0]

    def path_gradient(
        self,
        z: Tensor,
        z_mix: Tensor,
        cutoff: Tensor,
        labels: Tensor | None,
        direction: Tensor,
        noises: list[Tensor],
    ) -> Tensor:
        """Give the gradient of (image × direction).sum() at ws, differentiable in G's weights."""
        ws, _ = self._mix(z, z_mix, cutoff, labels)
        if self.compiled:
            gradient: Tensor = self._ws_gradient(ws, noises, direction)
            return gradient
        image = self.G.synthesis(ws, noises)
        return torch.autograd.grad((image * direction).sum(), ws, create_graph=True)[0]

    def _compile(self) -> None:
        G, D = self.G, self.D

        def mix(
            z: Tensor, z_mix: Tensor, cutoff: Tensor, labels: Tensor | None
        ) -> tuple[Tensor, Tensor]:
            w, w_mix = G.mapping(z, labels), G.mapping(z_mix, labels)
            layer = torch.arange(G.num_ws, device=z.device)
            mixed = (layer[None] >= cutoff[:, None])[..., None]
            return torch.where(mixed, w_mix[:, None], w[:, None]), w

        def generate(
            z: Tensor, z_mix: Tensor, cutoff: Tensor, labels: Tensor | None, noises: list[Tensor]
        ) -> tuple[Tensor, Tensor]:
            ws, w = mix(z, z_mix, cutoff, labels)
            return G.synthesis(ws, noises), w

        def judge(pictures: Tensor, labels: Tensor | None) -> Tensor:
            logits: Tensor = D(pictures, labels)
            return logits

        def judge_gradient(pictures: Tensor, labels: Tensor | None) -> Tensor:
            weights: dict[str, Tensor] = dict(D.named_parameters())

            def total(x: Tensor) -> Tensor:
                logits: Tensor = functional_call(D, weights, (x, labels))
                return logits.sum()

            gradient: Tensor = grad(total)(pictures)
            return gradient

        def ws_gradient(ws: Tensor, noises: list[Tensor], direction: Tensor) -> Tensor:
            weights: dict[str, Tensor] = dict(G.synthesis.named_parameters())

            def total(ws: Tensor) -> Tensor:
                image: Tensor = functional_call(G.synthesis, weights, (ws, noises))
                return (image * direction).sum()

            gradient: Tensor = grad(total)(ws)
            return gradient

        def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
            if not self.compiled:
                return function
            return torch.compile(function, fullgraph=True, dynamic=False)

        self._mix = mix
        self._generate = compiled(generate)
        self._judge = compiled(judge)
        self._judge_gradient = compiled(judge_gradient)
        self._ws_gradient = compiled(ws_gradient)


def _backward(loss: Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]
