"""A lithium cell that is only measured, through a divider."""

# Voltage in mV by each 20 % of the charge, of a cell at rest
_CURVE = (3300, 3680, 3740, 3840, 3980, 4150)


class Cell:
    """`adc`: a machine.ADC with read_uv(); `ratio`: the cell's voltage divided by what it sees."""

    def __init__(self, adc, ratio):
        self._adc = adc
        self._ratio = ratio

    def voltage_mv(self):
        """The cell's voltage in mV."""
        return self._adc.read_uv() * self._ratio // 1000

    def level(self):
        """How full it is, in %; a guess from the voltage. Raises ValueError where there is no
        cell."""
        mv = self.voltage_mv()
        if mv < 2500:
            raise ValueError("there is no battery")
        for i in range(5):
            if mv < _CURVE[i + 1]:
                return max(0, 20 * i + 20 * (mv - _CURVE[i]) // (_CURVE[i + 1] - _CURVE[i]))
        return 100

    def charging(self):
        """False: nothing tells."""
        return False
