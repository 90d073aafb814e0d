import { describe } from 'vitest'
import { pauseSuite } from '#test/suites/pause.suite.js'

describe('a pause', () => pauseSuite(25))
