"""What operators may ask about policies and their rollout; requests to responses."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from google.protobuf.message import Message

from fleet.operator_desk import Call
from fleet.policies import Policies
from fleet.policy_store import BundleRow, PolicyRow
from fleet.registry import Registry
from fleet.rollout import Event, Rollout, Wish
from fleet.rollouts import DAY_S, Order, Rollouts
from fleet.store import NotKnownError
from gateway.domain.errors import MalformedError
from gateway.domain.labels import DestinationInfo
from protos.wardgate.v1 import fleet_pb2 as pb

ACTIONS: Final[Mapping[int, Event]] = {
    pb.ROLLOUT_ACTION_PAUSE: Event.PAUSE,
    pb.ROLLOUT_ACTION_RESUME: Event.RESUME,
    pb.ROLLOUT_ACTION_ABORT: Event.ABORT,
}
FORWARD: Final = frozenset({pb.ROLLOUT_ACTION_RESUME, pb.ROLLOUT_ACTION_SKIP})
"""What brings a policy to more gateways; the rest holds it up."""


LISTED_MAX: Final = 100
"""Policies in one answer, the newest."""


class PolicyDesk:
    """Each method takes a request and the operator's name.

    Raises:
        NotKnownError, PreconditionError, MalformedError, TokenError: for the caller to hear of.
    """

    def __init__(self, policies: Policies, rollouts: Rollouts, registry: Registry) -> None:
        self._policies = policies
        self._rollouts = rollouts
        self._registry = registry

    def methods(self) -> Mapping[str, tuple[type[Message], Call]]:
        """Method name -> request type and function."""
        return {
            "ProposePolicy": (pb.ProposePolicyRequest, self.propose),
            "ListPolicies": (pb.ListPoliciesRequest, self.list),
            "GetPolicy": (pb.GetPolicyRequest, self.get),
            "StartPolicyRollout": (pb.StartPolicyRolloutRequest, self.start),
            "GetPolicyRollout": (pb.GetPolicyRolloutRequest, self.rollout),
            "ControlPolicyRollout": (pb.ControlPolicyRolloutRequest, self.control),
        }

    async def propose(self, request: pb.ProposePolicyRequest, by: str) -> pb.ProposePolicyResponse:
        draft, row, waiting = await self._policies.propose(
            request.text, request.invariants, request.gateways, by
        )
        response = pb.ProposePolicyResponse(
            policy=pb.Policy(
                number=row.number if row else 0,
                signed_us=row.signed_us if row else 0,
                proposed_by=by,
                sha256=_sha256(draft.text),
                targets=[
                    _target(each.gateway, each.compared_with, each.destinations, each.widened)
                    for each in draft.targets
                ],
            )
        )
        if waiting is not None:
            response.pending.approval_id = waiting.approval_id
            response.pending.kind = waiting.kind
            response.pending.expires_us = waiting.expires_us
        return response

    async def list(self, _request: pb.ListPoliciesRequest, _by: str) -> pb.ListPoliciesResponse:
        kept, run = self._policies.kept, self._registry.run
        newest = (await run(kept.policies))[:LISTED_MAX]
        return pb.ListPoliciesResponse(
            policies=[_policy(row, await run(kept.bundles, row.number)) for row in newest]
        )

    async def get(self, request: pb.GetPolicyRequest, _by: str) -> pb.GetPolicyResponse:
        kept, run = self._policies.kept, self._registry.run
        row = await run(kept.policy, request.number)
        message = _policy(row, await run(kept.bundles, row.number))
        message.text, message.invariants = row.text, row.invariants
        response = pb.GetPolicyResponse(policy=message)
        if request.gateway:
            bundle = await run(kept.bundle, row.number, request.gateway)
            if bundle is None:
                raise NotKnownError(f"policy {row.number} is not for {request.gateway}")
            response.signed_policy = bundle.bundle
        return response

    async def start(
        self, request: pb.StartPolicyRolloutRequest, by: str
    ) -> pb.StartPolicyRolloutResponse:
        wishes = [
            Wish(tuple(stage.gateways), stage.percent, stage.ward) for stage in request.stages
        ]
        order = Order(
            request.number, wishes, request.soak_s, request.wait_s or DAY_S, request.manual
        )
        rollout = await self._rollouts.start(order, by)
        return pb.StartPolicyRolloutResponse(rollout=self._message(rollout))

    async def rollout(
        self, _request: pb.GetPolicyRolloutRequest, _by: str
    ) -> pb.GetPolicyRolloutResponse:
        last = await self._rollouts.last()
        return pb.GetPolicyRolloutResponse(rollout=self._message(last) if last else None)

    async def control(
        self, request: pb.ControlPolicyRolloutRequest, by: str
    ) -> pb.ControlPolicyRolloutResponse:
        if request.action == pb.ROLLOUT_ACTION_SKIP:
            rollout = await self._rollouts.skip(request.gateway, by)
        elif request.action in ACTIONS:
            rollout = await self._rollouts.control(ACTIONS[request.action], by)
        else:
            raise MalformedError("rollout", "no such action")
        return pb.ControlPolicyRolloutResponse(rollout=self._message(rollout))

    def _message(self, rollout: Rollout) -> pb.PolicyRollout:
        def has(name: str) -> bool:
            return self._rollouts.view(name, rollout.number).number == rollout.number

        return pb.PolicyRollout(
            rollout_id=rollout.rollout_id,
            number=rollout.number,
            state=rollout.state,
            reason=rollout.reason,
            stage=rollout.stage,
            stages=[
                pb.RolloutStageStatus(
                    gateways=stage,
                    in_force=[name for name in stage if has(name)],
                    skipped=[name for name in stage if name in rollout.skipped],
                )
                for stage in rollout.stages
            ],
            since_us=rollout.since_us,
            started_by=rollout.started_by,
            started_us=rollout.started_us,
            manual=rollout.manual,
        )


def _policy(row: PolicyRow, bundles: Sequence[BundleRow]) -> pb.Policy:
    return pb.Policy(
        number=row.number,
        signed_us=row.signed_us,
        proposed_by=row.proposed_by,
        approved_by=row.approved_by,
        sha256=_sha256(row.text),
        targets=[
            _target(each.gateway, each.compared_with, each.destinations or (), each.widened)
            for each in bundles
        ],
    )


def _target(
    gateway: str,
    compared_with: int,
    destinations: Sequence[DestinationInfo],
    widened: Sequence[str],
) -> pb.PolicyTarget:
    return pb.PolicyTarget(
        gateway=gateway,
        compared_with=compared_with,
        destinations=[pb.PolicyDestination(**each._asdict()) for each in destinations],
        widened=widened,
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
