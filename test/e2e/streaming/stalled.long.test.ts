import { stalledSuite } from '../../suites/stalled.suite.js'

stalledSuite(50_000_000)
