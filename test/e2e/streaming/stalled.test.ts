import { stalledSuite } from '../../suites/stalled.suite.js'

/** More than the kernel takes for a connection on loopback. */
stalledSuite(16_000_000)
