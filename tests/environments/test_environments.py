import warnings

import numpy as np
import pytest

from archwright.costs.dram_controller import effective
from archwright.environments.proxy import Proxy
from archwright.environments.reward import Target, reward
from archwright.errors import ConfigurationError
from archwright.registry import get
from archwright.simulators.dram import OPTIONS, controller_space
from archwright.space import Space

gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("pettingzoo")

SPACE = Space(controller_space())
TARGETS = (Target("latency_ns", 60.0), Target("power_w", 0.8))


def cost(requests=60):
    return get("costs", "dram_controller")(SPACE, trace="stream", requests=requests)


def test_the_reward_is_zero_at_the_targets_bounded_and_monotone():
    values = np.array([1.0, 60.0, 61.0, 600.0, 1e9, np.nan])
    got = reward({"latency_ns": values}, (Target("latency_ns", 60.0, 2.0),))
    assert got[0] == got[1] == 0
    assert (np.diff(got[1:]) <= 0).all()
    assert got.min() == -2
    assert got[3] == pytest.approx(-2 * 9 / 10)


def test_at_least_turns_the_direction():
    got = reward({"accuracy_percent": np.array([50.0, 90.0, 95.0])}, (Target("accuracy_percent", 90.0, at_least=True),))
    assert got[0] < got[1] == got[2] == 0


def test_targets_without_sense_are_refused():
    with pytest.raises(ConfigurationError, match="positive"):
        Target("latency_ns", 0.0)
    with pytest.raises(ConfigurationError, match="did you mean 'latency_ns'"):
        reward({"latency_ns": np.ones(1)}, (Target("latency_nss", 1.0),))


def test_the_gymnasium_checker_accepts_the_environment():
    from gymnasium.utils.env_checker import check_env

    from archwright.environments.design import DesignEnv

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(DesignEnv(SPACE, cost(), TARGETS, horizon=3), skip_render_check=True)


def test_a_step_gives_the_evaluators_reward_and_is_logged():
    from archwright.environments.design import DesignEnv

    env = DesignEnv(SPACE, cost(), TARGETS)
    env.reset(seed=0)
    env.action_space.seed(0)
    action = env.action_space.sample()
    seen, value, _, cut, info = env.step(action)
    expected = cost().evaluate(np.asarray(action)[None])
    assert value == pytest.approx(float(reward(expected, TARGETS)[0]))
    assert info["metrics"]["latency_ns"] == expected["latency_ns"][0]
    assert env.observation_space.contains(seen)
    assert cut
    assert env.log.codes.tolist() == [np.asarray(action).tolist()]


def test_pettingzoo_agents_are_the_decisions_and_share_the_reward():
    from pettingzoo.test import parallel_api_test

    from archwright.environments.multi_agent import MultiAgentDesignEnv

    env = MultiAgentDesignEnv(SPACE, cost(), TARGETS, horizon=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parallel_api_test(env, num_cycles=12)
    assert len(env.possible_agents) == 10
    env.reset()
    _, rewards, *_ = env.step({a: 0 for a in env.possible_agents})
    assert len(set(rewards.values())) == 1
    with pytest.raises(ConfigurationError, match="gave no action"):
        env.reset()
        env.step({})


def test_a_proxy_learns_the_simulator_and_is_an_evaluator():
    codes = SPACE.sample(500, np.random.default_rng(0)).codes
    columns = cost(40).evaluate(codes)
    known = {m: v[:400] for m, v in columns.items()}
    proxy = Proxy(SPACE, ("latency_ns", "power_w"), trees=60, leaves=16, rate=0.1, labels=8_000, cells=512)
    proxy.fit(codes[:400], known)
    error = proxy.error_percent(codes[400:], {m: v[400:] for m, v in columns.items()})
    assert error["power_w"]["rmse_percent_of_mean"] < 10
    assert proxy.evaluate(codes[:3])["latency_ns"].shape == (3,)
    with pytest.raises(ConfigurationError, match="ten designs"):
        Proxy(SPACE, ("latency_ns",)).fit(codes[:3], columns)
    with pytest.raises(ConfigurationError, match="call fit first"):
        Proxy(SPACE, ("latency_ns",)).evaluate(codes[:3])


def test_what_a_design_amounts_to_by_hand():
    def of(**values):
        code = np.array([[OPTIONS[d.path].index(values.get(d.path, OPTIONS[d.path][0])) for d in SPACE.decisions]])
        return effective(SPACE, code)[0].tolist()

    # 16 banks of 8 places, 32 active: 32 can wait in all, 8 in one buffer; 4 times the places of one are active
    banked = of(scheduler_buffer="Bankwise", request_buffer_size=8, max_active_transactions=32)
    assert banked[:4] == [5.0, 3.0, 2.0, -2.0]
    assert of(scheduler_buffer="Shared", request_buffer_size=8, max_active_transactions=32)[:2] == [3.0, 3.0]
    assert of(refresh_policy="NoRefresh", refresh_max_postponed=8)[4:] == [-1.0, -1.0]
    assert of(refresh_policy="AllBank", refresh_max_postponed=8)[4:] == [3.0, 0.0]
